locals {
  # Ids in metric maths begin with a small letter: q0, q1, …
  queues  = var.backlog == null ? {} : { for index, queue in var.backlog.queues : "q${index}" => queue }
  waiting = join(" + ", [for id in sort(keys(local.queues)) : "FILL(${id}, 0)"])
}

resource "aws_appautoscaling_policy" "backlog" {
  count              = var.backlog == null ? 0 : 1
  name               = "${var.name}-${var.service}-backlog"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  resource_id        = aws_appautoscaling_target.this.resource_id
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = var.backlog.per_task
    scale_out_cooldown = 60
    scale_in_cooldown  = 600 # a worker that is sent home has to drain: do it seldom

    customized_metric_specification {
      dynamic "metrics" {
        for_each = local.queues
        content {
          id          = metrics.key
          label       = "Ready in ${metrics.value}"
          return_data = false

          metric_stat {
            stat = "Maximum" # every dispatcher tells the same figure

            metric {
              namespace   = "Sluice"
              metric_name = "sluice_queue_ready"

              dimensions {
                name  = "Environment"
                value = var.backlog.environment
              }

              dimensions {
                name  = "Queue"
                value = metrics.value
              }
            }
          }
        }
      }

      metrics {
        id          = "tasks"
        label       = "Running workers"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"

            dimensions {
              name  = "ClusterName"
              value = var.cluster
            }

            dimensions {
              name  = "ServiceName"
              value = var.service
            }
          }
        }
      }

      metrics {
        id          = "backlog"
        label       = "Waiting for each worker"
        expression  = "(${local.waiting}) / IF(FILL(tasks, 1) < 1, 1, FILL(tasks, 1))"
        return_data = true
      }
    }
  }
}

# Target tracking waits three minutes before it acts; a burst does not.
resource "aws_appautoscaling_policy" "burst" {
  count              = var.backlog == null ? 0 : 1
  name               = "${var.name}-${var.service}-burst"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  resource_id        = aws_appautoscaling_target.this.resource_id
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type          = "PercentChangeInCapacity"
    min_adjustment_magnitude = 1
    cooldown                 = 120
    metric_aggregation_type  = "Maximum"

    step_adjustment {
      metric_interval_lower_bound = 0
      metric_interval_upper_bound = var.backlog.burst
      scaling_adjustment          = 50
    }

    step_adjustment {
      metric_interval_lower_bound = var.backlog.burst
      scaling_adjustment          = 100
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "burst" {
  count               = var.backlog == null ? 0 : 1
  alarm_name          = "${var.name}-${var.service}-burst"
  alarm_description   = "More waits than the workers there are can take: workers are added. Nobody is paged. Runbook: ${var.runbook}/${var.service}-burst.md"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.backlog.burst
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.burst[0].arn]

  dynamic "metric_query" {
    for_each = local.queues
    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = "Sluice"
        metric_name = "sluice_queue_ready"
        period      = 60
        stat        = "Maximum"
        dimensions  = { Environment = var.backlog.environment, Queue = metric_query.value }
      }
    }
  }

  metric_query {
    id          = "waiting"
    label       = "Waiting in all queues"
    expression  = local.waiting
    return_data = true
  }
}
