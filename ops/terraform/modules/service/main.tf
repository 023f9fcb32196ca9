# A service replaces its tasks without ever having fewer than it should.  New tasks that do not come up, or alarms that go
# off meanwhile, take the deployment back by themselves.
resource "aws_ecs_service" "this" {
  name                              = var.service
  cluster                           = var.cluster_arn
  task_definition                   = var.task_definition
  desired_count                     = var.desired_count
  platform_version                  = "1.4.0"
  propagate_tags                    = "SERVICE"
  enable_ecs_managed_tags           = true
  enable_execute_command            = false
  availability_zone_rebalancing     = "ENABLED"
  health_check_grace_period_seconds = var.target_group == null ? null : 90
  wait_for_steady_state             = var.wait_for_steady_state

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  alarms {
    enable      = true
    rollback    = true
    alarm_names = var.rollback_alarms
  }

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = var.subnets
    security_groups  = [var.security_group]
    assign_public_ip = false
  }

  dynamic "load_balancer" {
    for_each = var.target_group == null ? [] : [var.target_group]
    content {
      target_group_arn = load_balancer.value.arn
      container_name   = var.service
      container_port   = load_balancer.value.port
    }
  }

  # Autoscaling moves it; a plan must not move it back.
  lifecycle {
    ignore_changes = [desired_count]
  }
}
