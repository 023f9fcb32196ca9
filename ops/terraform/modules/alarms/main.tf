# One alarm for each row of the tables in resources.tf and signals.tf.
# A row: why (one sentence for whoever is woken), kind (its runbook page), what is compared with which threshold, for how
# many minutes of how many, what silence means, and either one metric or several and an expression.
locals {
  alarms = merge(local.resources, local.signals, local.queues)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.why} Runbook: ${var.runbook}/${each.value.kind}.md"
  comparison_operator = each.value.compare
  threshold           = each.value.threshold
  evaluation_periods  = each.value.of
  datapoints_to_alarm = each.value.of
  treat_missing_data  = each.value.silence
  alarm_actions       = [var.topic_arn]
  ok_actions          = [var.topic_arn]

  # One metric.
  namespace   = each.value.expression == null ? values(each.value.metrics)[0].namespace : null
  metric_name = each.value.expression == null ? values(each.value.metrics)[0].name : null
  statistic   = each.value.expression == null ? each.value.stat : null
  period      = each.value.expression == null ? each.value.period_s : null
  dimensions  = each.value.expression == null ? values(each.value.metrics)[0].dimensions : null

  # Several, and how they become one figure.
  dynamic "metric_query" {
    for_each = each.value.expression == null ? {} : each.value.metrics
    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        dimensions  = metric_query.value.dimensions
        period      = each.value.period_s
        stat        = each.value.stat
      }
    }
  }

  dynamic "metric_query" {
    for_each = each.value.expression == null ? [] : [each.value.expression]
    content {
      id          = "result"
      label       = each.key
      expression  = metric_query.value
      return_data = true
    }
  }
}
