"""Ways to reach a simulated device: in this process, over a pty, over TCP; with faults on the line."""
