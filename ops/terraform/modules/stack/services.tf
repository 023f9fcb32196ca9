# Four services from two images.  What a service is, in one row each; sizes come from the root.
locals {
  registry = "${var.account_id}.dkr.ecr.${var.region}.amazonaws.com/${local.name}"
  stores   = ["database-url", "redis-url", "broker-url"]

  # Every Sluice process answers beside its metrics; the port listens on loopback, where the agent and this ask.
  alive = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9191/healthz', timeout=3)"]

  common = merge({
    AWS_DEFAULT_REGION      = var.region
    SLUICE_LOG_FORMAT       = "json"
    SLUICE_LOG_LEVEL        = var.log_level
    SLUICE_METRICS_PORT     = "9191"
    SLUICE_VAR              = "/var/lib/sluice"
    SLUICE_CLOUDWATCH_GROUP = local.log_groups["application"]
  }, var.settings)

  urls = {
    SLUICE_DATABASE_URL = module.addresses.arns["database"]
    SLUICE_REDIS_URL    = module.addresses.arns["redis"]
    SLUICE_BROKER_URL   = module.addresses.arns["broker"]
  }

  dropped = [{ names = ["sluice_log_dropped_total"], dimensions = ["Environment"] }]

  services = {
    frontend = {
      image       = "console"
      command     = null
      user        = "101:101"
      stop_s      = 30
      environment = {}
      secrets     = {}
      ports       = [8080]
      writable    = { tmp = "/tmp" }
      health      = ["CMD", "wget", "--quiet", "--tries=1", "--spider", "http://127.0.0.1:8080/healthz"]
      metrics     = []
    }
    backend = {
      image   = "app"
      command = ["serve"]
      user    = "10001:10001"
      stop_s  = 60
      environment = merge(local.common, {
        SLUICE_HOST              = "0.0.0.0"
        SLUICE_PORT              = "8080"
        SLUICE_PUBLIC_URL        = "https://${var.domain}"
        SLUICE_GATEWAY_PROCESSES = tostring(max(1, floor(var.services["backend"].cpu / 1024)))
        # The load balancer, which says for whom it asks, lies in the public subnets.
        SLUICE_TRUSTED_PROXIES = join(",", [for index, _ in var.availability_zones : cidrsubnet(var.cidr, 4, index)])
      })
      secrets  = merge(local.urls, { SLUICE_SIGNING_KEY = module.secrets.manual["signing-key"] })
      ports    = [8080]
      writable = { tmp = "/tmp", var = "/var/lib/sluice" }
      health   = local.alive
      metrics  = local.dropped
    }
    workers = {
      image   = "app"
      command = ["worker"]
      user    = "10001:10001"
      stop_s  = 120
      # Thirty seconds are left after the drain: for the log's last records and for leaving.
      environment = merge(local.common, {
        SLUICE_DRAIN_S          = "90"
        SLUICE_WORKER_PROCESSES = tostring(max(1, floor(var.services["workers"].cpu / 1024)))
      })
      secrets = merge(local.urls, {
        for provider in var.data_providers : "${upper(provider)}_API_KEY" => module.secrets.manual["${provider}-api-key"]
      })
      ports    = []
      writable = { tmp = "/tmp", var = "/var/lib/sluice" }
      health   = local.alive
      metrics  = local.dropped
    }
    dispatcher = {
      image       = "app"
      command     = ["dispatch"]
      user        = "10001:10001"
      stop_s      = 60
      environment = local.common
      secrets     = local.urls
      ports       = []
      writable    = { tmp = "/tmp", var = "/var/lib/sluice" }
      health      = local.alive
      metrics = concat(local.dropped, [
        { names = ["sluice_queue_ready", "sluice_queue_oldest_seconds", "sluice_queue_consumers"], dimensions = ["Environment", "Queue"] },
        { names = ["sluice_dead_letters", "sluice_jobs_undispatched"], dimensions = ["Environment"] },
      ])
    }
  }

  # What an alarm says during a deployment is taken as said about the deployment.
  rollback = {
    frontend   = ["http-5xx", "unhealthy-targets-frontend"]
    backend    = ["http-5xx", "unhealthy-targets-backend", "backend-memory"]
    workers    = ["dead-letters"]
    dispatcher = ["jobs-undispatched"]
  }
}

module "iam" {
  source     = "../iam"
  name       = local.name
  account_id = var.account_id
  region     = var.region
  key_alias  = module.encryption.alias
  services = merge(
    {
      frontend   = { image = "console", log_group = local.log_groups["frontend"], secrets = [], ships_to = [] }
      backend    = { image = "app", log_group = local.log_groups["backend"], secrets = concat(local.stores, ["signing-key"]), ships_to = local.shipping }
      workers    = { image = "app", log_group = local.log_groups["workers"], secrets = concat(local.stores, [for provider in var.data_providers : "${provider}-api-key"]), ships_to = local.shipping }
      dispatcher = { image = "app", log_group = local.log_groups["dispatcher"], secrets = local.stores, ships_to = local.shipping }
    },
    {
      migrate = { image = "app", log_group = local.log_groups["tasks"], secrets = local.stores, ships_to = [] }
      roles = {
        image           = "app"
        log_group       = local.log_groups["tasks"]
        secrets         = ["database-password"]
        ships_to        = []
        database_master = "arn:aws:rds:${var.region}:${var.account_id}:db:${local.name}"
      }
    },
  )
}

locals {
  shipping = [local.log_groups["application"], local.log_groups["metrics"]]
}

module "cluster" {
  source = "../cluster"
  name   = local.name
  # Container Insights would make its own log group, kept for ever.
  depends_on = [module.logs]
}

module "task" {
  source           = "../task"
  for_each         = local.services
  name             = local.name
  region           = var.region
  environment_name = var.environment
  service          = each.key
  image            = "${local.registry}/${each.value.image}:${var.image_tag}"
  schema_revision  = var.schema_revision
  command          = each.value.command
  user             = each.value.user
  cpu              = var.services[each.key].cpu
  memory           = var.services[each.key].memory
  stop_s           = each.value.stop_s
  environment      = each.value.environment
  secrets          = each.value.secrets
  ports            = each.value.ports
  writable         = each.value.writable
  health           = each.value.health
  roles            = module.iam.roles[each.key]
  log_group        = module.logs.names[each.key]
  metrics          = each.value.metrics
  metrics_group    = module.logs.names["metrics"]
}

module "service" {
  source                = "../service"
  for_each              = local.services
  service               = each.key
  cluster_arn           = module.cluster.arn
  task_definition       = module.task[each.key].arn
  desired_count         = var.services[each.key].min
  rollback_alarms       = [for alarm in local.rollback[each.key] : module.alarms.names[alarm]]
  subnets               = module.network.private_subnets
  security_group        = module.network.groups[each.key]
  target_group          = contains(["frontend", "backend"], each.key) ? { arn = module.alb.targets[each.key].arn, port = 8080 } : null
  wait_for_steady_state = var.wait_for_steady_state
}

module "autoscaling" {
  source   = "../autoscaling"
  for_each = local.services
  name     = local.name
  cluster  = local.name
  service  = module.service[each.key].name
  min      = var.services[each.key].min
  max      = var.services[each.key].max
  runbook  = local.runbook
  backlog = each.key != "workers" ? null : {
    environment = var.environment
    queues      = local.queues
    per_task    = var.backlog_per_worker
    burst       = 20 * var.backlog_per_worker
  }
}
