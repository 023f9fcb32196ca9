output "arn" {
  value      = aws_ecs_cluster.this.arn
  depends_on = [aws_ecs_cluster_capacity_providers.this]
}
