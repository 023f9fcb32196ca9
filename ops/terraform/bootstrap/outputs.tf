output "bucket" {
  value = aws_s3_bucket.state.bucket
}

output "kms_key_id" {
  value = aws_kms_alias.state.name
}

output "zone_id" {
  value = aws_route53_zone.this.zone_id
}

output "name_servers" {
  description = "To be entered in the parent zone"
  value       = aws_route53_zone.this.name_servers
}
