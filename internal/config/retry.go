package config

import (
	"slices"
	"strconv"
	"time"
)

// defaultRetry is the schedule of a file that has none: it bridges a long
// weekend, and is the one that administrators know from Exim.
func defaultRetry() []Retry {
	return []Retry{{Name: "default", Steps: []string{"F 2h 15m", "G 16h 1h 1.5", "F 4d 6h"}}}
}

func defaultRetryLimits() RetryLimits {
	day := Duration(24 * time.Hour)
	return RetryLimits{Interval: day, Remember: 7 * day, PerSender: true, DelayAfterCutoff: true}
}

func (c *checker) retries() {
	names := map[string]bool{}
	for i, r := range c.file.Retry {
		path := "retry[" + strconv.Itoa(i) + "]"
		c.name(path, r.Name, names)
		c.condition(path+".if", r.If, "sender", "rcpt")
		if r.Steps == nil {
			c.faultAt(path, "a retry rule needs steps", "write steps: [F 2h 15m, G 16h 1h 1.5, F 4d 6h], or steps: [] to make the first failure final")
		}
		c.ascending(path+".warn_after", r.WarnAfter)
	}
	if l := time.Duration(c.file.RetryLimits.Interval); l < time.Minute || l > 24*time.Hour {
		c.faultAt("retry_limits.interval", "the longest interval is from 1m to 24h", "steps say how long theirs are")
	}
	if time.Duration(c.file.RetryLimits.Remember) < time.Hour {
		c.faultAt("retry_limits.remember", "failures are remembered for an hour at least", "longer than the longest interval")
	}
}

// ascending checks ages at which a sender is told of a delay.
func (c *checker) ascending(path string, ages []Duration) {
	if !slices.IsSorted(ages) || len(slices.Compact(slices.Clone(ages))) < len(ages) || len(ages) > 0 && ages[0] <= 0 {
		c.faultAt(path, "ages are above zero and ascend", "write [4h, 8h, 1d]: behind the last one they go on at its distance from the one before")
	}
}
