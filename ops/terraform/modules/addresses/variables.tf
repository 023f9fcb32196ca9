variable "name" {
  type = string
}

variable "stores" {
  description = "By name: how it is spoken to, what follows the @ in its address, and where its password lies"
  type = map(object({
    scheme           = string
    place            = string
    password_arn     = string
    password_version = string
    rotation         = number
  }))
}

variable "key_arn" {
  type = string
}

variable "recovery_days" {
  type = number
}
