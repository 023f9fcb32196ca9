variable "name" {
  type = string
}

variable "images" {
  type = list(string)
}

variable "keep" {
  description = "So many releases of each image are kept"
  type        = number
  default     = 50
}

variable "key_arn" {
  type = string
}
