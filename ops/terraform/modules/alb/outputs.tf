output "dns_name" {
  value = aws_lb.this.dns_name
}

output "zone_id" {
  value = aws_lb.this.zone_id
}

output "arn_suffix" {
  description = "What CloudWatch calls the load balancer"
  value       = aws_lb.this.arn_suffix
}

output "targets" {
  description = "By service: ARN, and what CloudWatch calls it; there once a listener sends requests to it"
  value = { for name, group in aws_lb_target_group.this : name => {
    arn        = group.arn
    arn_suffix = group.arn_suffix
  } }
  depends_on = [aws_lb_listener.https, aws_lb_listener_rule.backend]
}
