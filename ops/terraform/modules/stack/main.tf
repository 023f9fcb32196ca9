# Everything of one environment.  The roots differ in sizes and names, never in shape.
locals {
  name    = "sluice-${var.environment}"
  runbook = "${var.runbook_url}docs/runbook/alarms"

  # Names that others need before the thing itself exists, so that a plan shows them.
  redis_nodes = [for index in range(1 + var.redis.replicas) : format("%s-%03d", local.name, index + 1)]
  queues      = concat(["jobs", "ledger", "dedup", "post"], [for provider in sort(var.data_providers) : "fetch.${provider}"])

  log_groups = {
    frontend         = "/sluice/${var.environment}/frontend"
    backend          = "/sluice/${var.environment}/backend"
    workers          = "/sluice/${var.environment}/workers"
    dispatcher       = "/sluice/${var.environment}/dispatcher"
    tasks            = "/sluice/${var.environment}/tasks"
    application      = "/sluice/${var.environment}/application" # shipped by the processes themselves
    metrics          = "/sluice/${var.environment}/metrics"     # embedded metrics of the agents
    flow             = "/sluice/${var.environment}/flow"
    insights         = "/aws/ecs/containerinsights/${local.name}/performance"
    database         = "/aws/rds/instance/${local.name}/postgresql"
    database-upgrade = "/aws/rds/instance/${local.name}/upgrade"
  }
}

module "encryption" {
  source     = "../encryption"
  name       = local.name
  account_id = var.account_id
  region     = var.region
}

module "logs" {
  source         = "../logs"
  groups         = local.log_groups
  retention_days = var.log_retention_days
  key_arn        = module.encryption.key_arn
}

module "network" {
  source              = "../network"
  name                = local.name
  account_id          = var.account_id
  region              = var.region
  cidr                = var.cidr
  availability_zones  = var.availability_zones
  single_nat          = var.single_nat
  interface_endpoints = var.interface_endpoints
  flow_group          = module.logs.names["flow"]
}

module "sns" {
  source     = "../sns"
  name       = local.name
  account_id = var.account_id
  region     = var.region
  key_arn    = module.encryption.key_arn
  emails     = var.alarm_emails
  webhooks   = var.alarm_webhooks
}

module "ecr" {
  source  = "../ecr"
  name    = local.name
  images  = ["app", "console"]
  key_arn = module.encryption.key_arn
}

module "dns" {
  source       = "../dns"
  domain       = var.domain
  zone_id      = var.zone_id
  alb_dns_name = module.alb.dns_name
  alb_zone_id  = module.alb.zone_id
}

module "alb" {
  source              = "../alb"
  name                = local.name
  account_id          = var.account_id
  region              = var.region
  vpc_id              = module.network.vpc_id
  subnets             = module.network.public_subnets
  security_group      = module.network.groups["alb"]
  certificate_arn     = module.dns.certificate_arn
  retention_days      = var.log_retention_days
  deletion_protection = var.deletion_protection
  targets = {
    frontend = { port = 8080, health = "/healthz" }
    backend  = { port = 8080, health = "/healthz" }
  }
}

module "backup" {
  source       = "../backup"
  name         = local.name
  account_id   = var.account_id
  key_arn      = module.encryption.key_arn
  daily_days   = 35
  monthly_days = 365
}

module "alarms" {
  source               = "../alarms"
  name                 = local.name
  environment          = var.environment
  topic_arn            = module.sns.topic_arn
  runbook              = local.runbook
  cluster              = local.name
  database             = local.name
  database_storage_gib = var.database.storage_gib
  redis_nodes          = local.redis_nodes
  broker               = local.name
  load_balancer        = module.alb.arn_suffix
  target_groups        = { for service, target in module.alb.targets : service => target.arn_suffix }
  certificate          = module.dns.certificate_arn
  queues               = local.queues
  queue_depth          = var.queue_depth
}

module "dashboard" {
  source        = "../dashboard"
  name          = local.name
  environment   = var.environment
  region        = var.region
  account_id    = var.account_id
  cluster       = local.name
  database      = local.name
  redis_nodes   = local.redis_nodes
  broker        = local.name
  load_balancer = module.alb.arn_suffix
  queues        = local.queues
  alarms        = values(module.alarms.names)
}
