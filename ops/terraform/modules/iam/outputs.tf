output "roles" {
  description = "By service: execution and task. A role is handed out once its policy stands, so that no task starts without"
  value = { for service, given in var.services : service => {
    execution = aws_iam_role.execution[service].arn
    task      = aws_iam_role.task[service].arn
  } }
  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task]
}
