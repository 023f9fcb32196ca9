# The eight by name: machines that run hot or full.
locals {
  hot = { compare = "GreaterThanOrEqualToThreshold", stat = "Average", period_s = 60, silence = "missing", expression = null }

  services = { for service in ["backend", "frontend"] : service => {
    ClusterName = var.cluster
    ServiceName = service
  } }

  redis = { for metric in ["EngineCPUUtilization", "DatabaseMemoryUsagePercentage"] : metric => {
    for index, node in var.redis_nodes : "node${index}" => {
      namespace  = "AWS/ElastiCache"
      name       = metric
      dimensions = { CacheClusterId = node }
    }
  } }

  # The fullest node speaks for all.
  fullest = "MAX([${join(", ", [for index, node in var.redis_nodes : "node${index}"])}])"

  resources = {
    backend-cpu = merge(local.hot, {
      kind      = "backend-cpu"
      why       = "The gateway used 80 % of its CPU for five minutes: answers are about to become slow."
      threshold = 80
      of        = 5
      metrics   = { m = { namespace = "AWS/ECS", name = "CPUUtilization", dimensions = local.services["backend"] } }
    })
    backend-memory = merge(local.hot, {
      kind      = "backend-memory"
      why       = "The gateway used 80 % of its memory for five minutes: at 100 % tasks are killed in the middle of answers."
      threshold = 80
      of        = 5
      metrics   = { m = { namespace = "AWS/ECS", name = "MemoryUtilization", dimensions = local.services["backend"] } }
    })
    frontend-cpu = merge(local.hot, {
      kind      = "frontend-cpu"
      why       = "The console's server used 80 % of its CPU for five minutes, which static files never need."
      threshold = 80
      of        = 5
      metrics   = { m = { namespace = "AWS/ECS", name = "CPUUtilization", dimensions = local.services["frontend"] } }
    })
    frontend-memory = merge(local.hot, {
      kind      = "frontend-memory"
      why       = "The console's server used 80 % of its memory for five minutes: operators are about to lose their console."
      threshold = 80
      of        = 5
      metrics   = { m = { namespace = "AWS/ECS", name = "MemoryUtilization", dimensions = local.services["frontend"] } }
    })
    rds-cpu = merge(local.hot, {
      kind      = "rds-cpu"
      why       = "The database used 80 % of its CPU for ten minutes: posting and queries queue up behind each other."
      threshold = 80
      of        = 10
      metrics   = { m = { namespace = "AWS/RDS", name = "CPUUtilization", dimensions = { DBInstanceIdentifier = var.database } } }
    })
    rds-storage = merge(local.hot, {
      kind      = "rds-storage"
      why       = "Less than a fifth of the database's first disk is free: a full disk stops every write."
      compare   = "LessThanOrEqualToThreshold"
      stat      = "Minimum"
      threshold = var.database_storage_gib * 1024 * 1024 * 1024 / 5
      of        = 5
      metrics   = { m = { namespace = "AWS/RDS", name = "FreeStorageSpace", dimensions = { DBInstanceIdentifier = var.database } } }
    })
    redis-cpu = merge(local.hot, {
      kind       = "redis-cpu"
      why        = "A Redis node used 80 % of its one engine thread for five minutes: every rate limit waits for it."
      threshold  = 80
      of         = 5
      metrics    = local.redis["EngineCPUUtilization"]
      expression = local.fullest
    })
    redis-memory = merge(local.hot, {
      kind       = "redis-memory"
      why        = "A Redis node is three quarters full: nothing is evicted, so at 100 % limits and budgets refuse every call."
      threshold  = 75
      of         = 5
      metrics    = local.redis["DatabaseMemoryUsagePercentage"]
      expression = local.fullest
    })
  }
}
