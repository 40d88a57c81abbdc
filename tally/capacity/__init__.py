"""What a load needs: cores, memory, brokers, rows and money, worked out from measured figures. See docs/SCALE.md."""
