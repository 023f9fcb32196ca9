variable "name" {
  type = string
}

variable "engine_version" {
  type    = string
  default = "4.2"
}

variable "instance_type" {
  type = string
}

variable "cluster" {
  description = "Three nodes in three zones, or one node"
  type        = bool
}

variable "password_arn" {
  description = "Secret with the password of the user sluice"
  type        = string
}

variable "deletion_protection" {
  type = bool
}

variable "subnets" {
  type = list(string)
}

variable "security_group" {
  type = string
}

variable "key_arn" {
  type = string
}
