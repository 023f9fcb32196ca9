variable "environment" {
  description = "staging or production"
  type        = string
}

variable "region" {
  type = string
}

variable "account_id" {
  type = string
}

variable "availability_zones" {
  type = list(string)
}

variable "cidr" {
  type = string
}

variable "single_nat" {
  type = bool
}

variable "interface_endpoints" {
  type    = list(string)
  default = []
}

variable "domain" {
  type = string
}

variable "zone_id" {
  type = string
}

variable "image_tag" {
  description = "Release that the services run"
  type        = string

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+([-.][0-9A-Za-z.-]+)?$", var.image_tag))
    error_message = "A release is a version such as 0.2.0: a tag that moves, such as latest, is nothing to go back to."
  }
}

variable "schema_revision" {
  description = "Newest migration of that release, which sluice rollback compares; null: it has to be told"
  type        = string
  default     = null
}

variable "task_image_tag" {
  description = "Release whose migration is run next; null: that of the services"
  type        = string
  default     = null

  validation {
    condition     = var.task_image_tag == null || can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+([-.][0-9A-Za-z.-]+)?$", var.task_image_tag))
    error_message = "A release is a version such as 0.2.0: a tag that moves, such as latest, is nothing to go back to."
  }
}

variable "postgres_image" {
  description = "Where psql comes from, for the task that sets up roles"
  type        = string
  default     = "public.ecr.aws/docker/library/postgres:18-bookworm"

  validation {
    condition     = can(regex("(:v?[0-9][0-9A-Za-z._-]*|@sha256:[0-9a-f]{64})$", var.postgres_image))
    error_message = "Name a version or a digest: what a registry calls latest changes under a task."
  }
}

variable "data_providers" {
  description = "Data providers that have a key; the others are disabled, visibly"
  type        = set(string)
}

variable "settings" {
  description = "More SLUICE_ variables for backend, workers and dispatcher, such as budgets; no secrets"
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : !can(regex("_(KEY|URL|PASSWORD|TOKEN)$", name))])
    error_message = "Keys, passwords and addresses are secrets: they go to Secrets Manager, not here."
  }
}

variable "log_level" {
  type    = string
  default = "info"
}

variable "log_retention_days" {
  type = number
}

variable "alarm_emails" {
  type = list(string)

  validation {
    condition     = length(var.alarm_emails) > 0
    error_message = "Somebody must hear of alarms."
  }
}

variable "alarm_webhooks" {
  type    = list(string)
  default = []
}

variable "runbook_url" {
  description = "What stands before docs/runbook in the descriptions of alarms, such as https://git.example/sluice/blob/main/"
  type        = string
  default     = ""
}

variable "services" {
  description = "Sizes of frontend, backend, workers, dispatcher: CPU (1024 is a core), MiB, fewest and most tasks"
  type        = map(object({ cpu = number, memory = number, min = number, max = number }))

  validation {
    condition     = toset(keys(var.services)) == toset(["frontend", "backend", "workers", "dispatcher"])
    error_message = "Give the sizes of exactly frontend, backend, workers and dispatcher."
  }
}

variable "backlog_per_worker" {
  description = "Waiting messages that one worker task may have before another is added"
  type        = number
}

variable "queue_depth" {
  description = "Waiting messages in one queue that alarm"
  type        = number
}

variable "database" {
  type = object({
    instance_class  = string
    storage_gib     = number
    storage_gib_max = number
    backup_days     = number
  })
}

variable "redis" {
  type = object({ node_type = string, replicas = number })
}

variable "broker" {
  type = object({ instance_type = string, cluster = bool })
}

variable "password_rotations" {
  description = "Raise a number to have that password made anew (docs/SECRETS.md)"
  type        = map(number)
  default     = { database = 1, redis = 1, broker = 1 }
}

variable "secret_recovery_days" {
  type    = number
  default = 30
}

variable "deletion_protection" {
  description = "Of database, load balancer, broker and access log; off only on the way to destroying the environment"
  type        = bool
  default     = true
}

variable "wait_for_steady_state" {
  type    = bool
  default = true
}
