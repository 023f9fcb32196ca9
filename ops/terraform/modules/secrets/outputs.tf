output "manual" {
  description = "ARNs by name"
  value       = { for name, secret in aws_secretsmanager_secret.manual : name => secret.arn }
}

output "passwords" {
  description = "By name: the secret's ARN and the version that holds the password now"
  value = { for name, version in aws_secretsmanager_secret_version.password : name => {
    arn     = aws_secretsmanager_secret.password[name].arn
    version = version.version_id
  } }
}
