output "key_arn" {
  value = aws_kms_key.this.arn
}

output "alias" {
  description = "Known before the key is: policies name it, so that a plan shows them whole"
  value       = "alias/${var.name}"
}
