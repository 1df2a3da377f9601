"""Random fault schedules: whatever goes wrong, right strategies break no invariant; and mutations do."""
