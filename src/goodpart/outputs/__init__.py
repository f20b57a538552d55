"""Who is told of every verdict: result files, webhook, MQTT."""
