// Package smtptest runs the mail servers that tests of SMTP are played
// against, with configurations, spools and ports of their own. Each takes mail
// for them.example into a mailbox that the test reads, and sends all other
// mail on to a relay, which is the server under test.
package smtptest
