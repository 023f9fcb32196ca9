output "url" {
  value = "https://${var.domain}"
}

output "repositories" {
  description = "Where images are pushed to"
  value       = module.ecr.urls
}

output "cluster" {
  value = local.name
}

output "services" {
  value = [for service in module.service : service.name]
}

output "tasks" {
  description = "What is run once: families of task definitions, and where they run"
  value = {
    migrate        = module.migrate.family
    roles          = module.roles.family
    subnets        = module.network.private_subnets
    security_group = module.network.groups["tasks"]
  }
}

output "alarm_topic" {
  value = module.sns.topic_arn
}

output "alarms" {
  value = values(module.alarms.names)
}

output "broker_id" {
  description = "Its log group is /aws/amazonmq/broker/<id>/general"
  value       = module.mq.id
}

output "dashboard" {
  value = module.dashboard.name
}

output "backup_vault" {
  value = module.backup.vault
}
