output "names" {
  description = "Full names by short name; whoever uses them comes after the alarms"
  value       = { for key, alarm in aws_cloudwatch_metric_alarm.this : key => alarm.alarm_name }
}
