output "stack" {
  description = "What the procedures of docs/DEPLOYMENT.md need"
  value       = module.stack
}
