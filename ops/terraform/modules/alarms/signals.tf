# What hot machines do not tell: work that stands still while every CPU is idle.
locals {
  told  = { compare = "GreaterThanOrEqualToThreshold", stat = "Maximum", period_s = 60, expression = null }
  here  = { Environment = var.environment }
  front = { LoadBalancer = var.load_balancer }

  signals = merge({
    dead-letters = merge(local.told, {
      kind      = "dead-letters"
      why       = "At least one job has failed for good and waits for a person."
      threshold = 1
      of        = 5
      silence   = "notBreaching"
      metrics   = { m = { namespace = "Sluice", name = "sluice_dead_letters", dimensions = local.here } }
    })
    jobs-undispatched = merge(local.told, {
      kind      = "jobs-undispatched"
      why       = "For ten minutes 100 jobs were due and nobody had put them into a queue, or no dispatcher tells how many: jobs are accepted and do not run."
      threshold = 100
      of        = 10
      silence   = "breaching"
      metrics   = { m = { namespace = "Sluice", name = "sluice_jobs_undispatched", dimensions = local.here } }
    })
    log-drops = merge(local.told, {
      kind      = "log-drops"
      why       = "Log records were dropped on their way to CloudWatch; standard output still has them."
      stat      = "Sum"
      period_s  = 300
      threshold = 1
      of        = 1
      silence   = "notBreaching"
      metrics   = { m = { namespace = "Sluice", name = "sluice_log_dropped_total", dimensions = local.here } }
    })
    broker-memory = merge(local.told, {
      kind       = "broker-memory"
      why        = "RabbitMQ uses 80 % of the memory it may: at 100 % it blocks every publisher without an error."
      threshold  = 80
      of         = 3
      silence    = "missing"
      expression = "100 * used / limit"
      metrics = {
        used  = { namespace = "AWS/AmazonMQ", name = "RabbitMQMemUsed", dimensions = { Broker = var.broker } }
        limit = { namespace = "AWS/AmazonMQ", name = "RabbitMQMemLimit", dimensions = { Broker = var.broker } }
      }
    })
    http-5xx = merge(local.told, {
      kind      = "http-5xx"
      why       = "For five minutes one request in a hundred, of at least 20 a minute, was answered with 5xx."
      stat      = "Sum"
      threshold = 1
      of        = 5
      silence   = "notBreaching"
      # The load balancer's own 5xx are those that no target was there to give.
      expression = "IF(FILL(asked, 0) < 20, 0, 100 * (FILL(ours, 0) + FILL(its, 0)) / FILL(asked, 1))"
      metrics = {
        asked = { namespace = "AWS/ApplicationELB", name = "RequestCount", dimensions = local.front }
        ours  = { namespace = "AWS/ApplicationELB", name = "HTTPCode_Target_5XX_Count", dimensions = local.front }
        its   = { namespace = "AWS/ApplicationELB", name = "HTTPCode_ELB_5XX_Count", dimensions = local.front }
      }
    })
    certificate-expiry = merge(local.told, {
      kind      = "certificate-expiry"
      why       = "The certificate ends within 21 days: ACM renews at 60 days, so renewal has been failing for weeks."
      compare   = "LessThanOrEqualToThreshold"
      stat      = "Minimum"
      period_s  = 86400
      threshold = 21
      of        = 1
      silence   = "ignore" # told once a day
      metrics   = { m = { namespace = "AWS/CertificateManager", name = "DaysToExpiry", dimensions = { CertificateArn = var.certificate } } }
    })
    }, { for service, group in var.target_groups : "unhealthy-targets-${service}" => merge(local.told, {
      kind       = "unhealthy-targets"
      why        = "For five minutes a ${service} task failed its health checks, or none passed them."
      threshold  = 1
      of         = 5
      silence    = "breaching"
      expression = "IF(FILL(healthy, 0) < 1, 1, FILL(unhealthy, 0))"
      metrics = {
        healthy   = { namespace = "AWS/ApplicationELB", name = "HealthyHostCount", dimensions = merge(local.front, { TargetGroup = group }) }
        unhealthy = { namespace = "AWS/ApplicationELB", name = "UnHealthyHostCount", dimensions = merge(local.front, { TargetGroup = group }) }
      }
  }) })
}
