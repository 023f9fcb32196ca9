"""What is to do: messages, queues, and the rows (jobs, pages, streams) that are the truth behind them."""
