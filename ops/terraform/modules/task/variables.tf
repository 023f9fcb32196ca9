variable "name" {
  type = string
}

variable "region" {
  type = string
}

variable "environment_name" {
  description = "staging or production: the dimension Environment"
  type        = string
}

variable "service" {
  type = string
}

variable "image" {
  type = string
}

variable "command" {
  type    = list(string)
  default = null
}

variable "user" {
  description = "A number: nothing runs as root"
  type        = string

  validation {
    condition     = can(regex("^[1-9][0-9]*(:[1-9][0-9]*)?$", var.user))
    error_message = "The user is a number above 0, such as 10001:10001."
  }
}

variable "cpu" {
  description = "1024 is one core"
  type        = number
}

variable "memory" {
  description = "MiB"
  type        = number
}

variable "stop_s" {
  description = "Seconds between SIGTERM and SIGKILL"
  type        = number

  validation {
    condition     = var.stop_s >= 30 && var.stop_s <= 120
    error_message = "Fargate gives a container 30 to 120 seconds to stop."
  }
}

variable "environment" {
  type    = map(string)
  default = {}
}

variable "secrets" {
  description = "Variable = ARN of the secret, or of a key in it (arn:key::)"
  type        = map(string)
  default     = {}
}

variable "ports" {
  type    = list(number)
  default = []
}

variable "writable" {
  description = "Volume = folder that the program may write to, all others are read-only"
  type        = map(string)
}

variable "health" {
  description = "Command that fails when the process should be replaced"
  type        = list(string)
  default     = null
}

variable "roles" {
  type = object({ execution = string, task = string })
}

variable "log_group" {
  type = string
}

variable "metrics" {
  description = "What the agent carries to CloudWatch: names, and the labels that become dimensions; none: no agent"
  type        = list(object({ names = list(string), dimensions = list(string) }))
  default     = []
}

variable "metrics_port" {
  type    = number
  default = 9191
}

variable "metrics_group" {
  description = "Log group of embedded metrics"
  type        = string
  default     = ""
}

variable "agent_image" {
  type    = string
  default = "public.ecr.aws/cloudwatch-agent/cloudwatch-agent:1.300026.3b189"

  validation {
    condition     = can(regex("(:v?[0-9][0-9A-Za-z._-]*|@sha256:[0-9a-f]{64})$", var.agent_image))
    error_message = "Name a version or a digest: what a registry calls latest changes under a task."
  }
}

variable "schema_revision" {
  description = "Newest migration of the image; null: not told"
  type        = string
  default     = null
}
