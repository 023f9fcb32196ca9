output "address" {
  value = aws_db_instance.this.address
}

output "master_secret_arn" {
  description = "Secret that RDS keeps: username and password of the master user"
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}
