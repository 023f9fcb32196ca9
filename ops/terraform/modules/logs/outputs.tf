output "names" {
  description = "Full names by short name, known once the groups exist"
  value       = { for key, group in aws_cloudwatch_log_group.this : key => group.name }
}
