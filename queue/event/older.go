package event

import "slices"

// lateKinds is the level of the format to which the kinds of errors behind
// ErrorInternal belong.
const lateKinds = 3

// NewestError is the last kind of error.
const NewestError = ErrorQuota

// older is the kind that a late one was called before there was a name for it.
func (k ErrorKind) older() ErrorKind {
	switch k {
	case ErrorRefused, ErrorConnectTimeout:
		return ErrorConnect
	case ErrorAuth:
		return ErrorGreeting
	case ErrorTLSRequired:
		return ErrorTLS
	case ErrorQuota:
		return ErrorRecipient
	}
	return k
}

// AtLevel is a group in the words of a level: what went wrong must be recorded
// while members are there that know fewer kinds of errors. The group's own
// events stay as they are.
func AtLevel(level int, g Group) Group {
	if level >= lateKinds {
		return g
	}
	events := slices.Clone(g.Events)
	for i, ev := range events {
		switch e := ev.(type) {
		case *Deferred:
			events[i] = &Deferred{Recipients: e.Recipients, Attempt: e.Attempt, Error: e.Error.older(), Due: e.Due}
		case *Failed:
			events[i] = &Failed{Recipients: e.Recipients, Attempt: e.Attempt, Error: e.Error.older()}
		case *Expired:
			events[i] = &Expired{Recipients: e.Recipients, Attempt: e.Attempt, Error: e.Error.older()}
		}
	}
	g.Events = events
	return g
}
