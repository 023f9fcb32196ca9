output "resource_id" {
  value = aws_appautoscaling_target.this.resource_id
}
