output "arns" {
  description = "Secrets that hold addresses, by store"
  value       = { for name, version in aws_secretsmanager_secret_version.url : name => version.arn }
}
