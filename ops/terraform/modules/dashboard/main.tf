# One page: does work move, do answers come, are the stores well, which alarms stand.
locals {
  by_queue = { for title, metric in {
    "Waiting messages"        = "sluice_queue_ready"
    "Oldest message, seconds" = "sluice_queue_oldest_seconds"
    "Consumers"               = "sluice_queue_consumers"
  } : title => [for queue in var.queues : ["Sluice", metric, "Environment", var.environment, "Queue", queue, { label = queue }]] }

  services = ["frontend", "backend", "workers", "dispatcher"]

  charts = merge(local.by_queue, {
    "Dead letters, undispatched jobs, dropped log records" = [
      ["Sluice", "sluice_dead_letters", "Environment", var.environment],
      ["Sluice", "sluice_jobs_undispatched", "Environment", var.environment],
      ["Sluice", "sluice_log_dropped_total", "Environment", var.environment, { stat = "Sum" }],
    ]
    "CPU of services, %"    = [for service in local.services : ["AWS/ECS", "CPUUtilization", "ClusterName", var.cluster, "ServiceName", service]]
    "Memory of services, %" = [for service in local.services : ["AWS/ECS", "MemoryUtilization", "ClusterName", var.cluster, "ServiceName", service]]
    "Requests and errors" = [
      ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", var.load_balancer, { stat = "Sum" }],
      ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "LoadBalancer", var.load_balancer, { stat = "Sum" }],
      ["AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "LoadBalancer", var.load_balancer, { stat = "Sum" }],
    ]
    "Time to answer, seconds" = [for stat in ["p50", "p99"] : ["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", var.load_balancer, { stat = stat }]]
    "Database" = [
      ["AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", var.database],
      ["AWS/RDS", "DatabaseConnections", "DBInstanceIdentifier", var.database],
      ["AWS/RDS", "FreeStorageSpace", "DBInstanceIdentifier", var.database, { yAxis = "right" }],
    ]
    "Redis" = flatten([for node in var.redis_nodes : [for metric in ["EngineCPUUtilization", "DatabaseMemoryUsagePercentage"] :
    { row = ["AWS/ElastiCache", metric, "CacheClusterId", node] }]])[*].row
    "Broker" = [
      ["AWS/AmazonMQ", "RabbitMQMemUsed", "Broker", var.broker],
      ["AWS/AmazonMQ", "RabbitMQMemLimit", "Broker", var.broker],
      ["AWS/AmazonMQ", "MessageCount", "Broker", var.broker, { yAxis = "right" }],
    ]
  })

  widgets = [for index, title in sort(keys(local.charts)) : {
    type   = "metric"
    x      = 8 * (index % 3)
    y      = 6 + 6 * floor(index / 3)
    width  = 8
    height = 6
    properties = {
      title   = title
      region  = var.region
      view    = "timeSeries"
      period  = 60
      stat    = "Maximum"
      metrics = local.charts[title]
    }
  }]

  alarms = {
    type   = "alarm"
    x      = 0
    y      = 0
    width  = 24
    height = 6
    properties = {
      title  = "Alarms"
      alarms = [for name in sort(var.alarms) : "arn:aws:cloudwatch:${var.region}:${var.account_id}:alarm:${name}"]
    }
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = flatten([local.alarms, local.widgets]) })
}
