package config

// DSN are the settings of delivery reports.
type DSN struct {
	// WarnAfter are the ages at which a sender is told of a delay; nil: never.
	WarnAfter []Duration `yaml:"warn_after"`
	// WarnIf is when it is; "" means of what is not bulk mail.
	WarnIf string `yaml:"warn_if"`
	// Return is headers or full: what is returned where the sender did not say.
	Return string `yaml:"return"`
	// MaxBody is the largest message that is returned whole.
	MaxBody Size `yaml:"max_body"`
	// Templates is a directory with words of reports; "" means the program's.
	Templates string `yaml:"templates"`
	// Language chooses words by rules.
	Language []Language `yaml:"language"`
	// CopyTo gets a copy of the reports of failures.
	CopyTo Address `yaml:"copy_to"`
	// DoubleBounce is postmaster, discard or freeze: what becomes of a message that
	// fails and has no sender.
	DoubleBounce string `yaml:"double_bounce"`
	// Suppress are reasons not to make a report.
	Suppress []Suppress `yaml:"suppress"`
}

// Freeze are the settings of messages that the relay holds itself, by Exim's
// names. What a person holds stays held.
type Freeze struct {
	// AutoThaw is after what time one with a sender is tried again; 0: never.
	AutoThaw Duration `yaml:"auto_thaw"`
	// TimeoutFrozenAfter is at what age a frozen one ends; 0: never.
	TimeoutFrozenAfter Duration `yaml:"timeout_frozen_after"`
	// IgnoreBounceErrorsAfter is from what age on a message without a sender is
	// not frozen any more when it fails, but discarded.
	IgnoreBounceErrorsAfter Duration `yaml:"ignore_bounce_errors_after"`
}

// Language chooses the words of a report.
type Language struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
	// Use is a directory of Templates, or a language that the program knows.
	Use string `yaml:"use"`
}

// Suppress is a reason not to make a report.
type Suppress struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
}

// Retry is a schedule for some recipients and errors.
type Retry struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
	// Errors are Exim's names and ours; none means all.
	Errors []string `yaml:"errors"`
	// Steps are as "F 2h 15m"; an empty list makes the first failure final.
	Steps []string `yaml:"steps"`
	// WarnAfter replaces dsn.warn_after for the recipients of the rule.
	WarnAfter []Duration `yaml:"warn_after"`
}

// RetryLimits bound what the retry rules say.
type RetryLimits struct {
	// Interval is the longest between two attempts.
	Interval Duration `yaml:"interval"`
	// Remember is after what time without news the failures of a host or an
	// address are forgotten.
	Remember Duration `yaml:"remember"`
	// PerSender counts failures of an address for each sender apart.
	PerSender bool `yaml:"per_sender"`
	// DelayAfterCutoff has one message in each interval try hosts that have
	// failed for the rule's whole time; without it each is tried once.
	DelayAfterCutoff bool `yaml:"delay_after_cutoff"`
}
