output "place" {
  description = "Host and port"
  value       = trimprefix(aws_cloudformation_stack.broker.outputs["Address"], "amqps://")
}

output "id" {
  description = "Amazon MQ names the broker's log group after it"
  value       = aws_cloudformation_stack.broker.outputs["Id"]
}
