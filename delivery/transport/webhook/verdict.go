package webhook

import (
	"net/http"
	"strconv"
	"time"

	"quorumta/internal/mail"
)

// verdict reads an answer.
func (c *conn) verdict(answer *http.Response, said string) mail.Reply {
	status := answer.StatusCode
	text := "HTTP " + answer.Status
	if said != "" {
		text += ":\n" + said
	}
	later := mail.Reply{Code: 451, Enhanced: "4.3.0", Text: text}
	switch {
	case status/100 == 2:
		return mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "HTTP " + answer.Status}
	case status/100 == 3:
		later.Enhanced = "4.3.5"
		later.Text = "HTTP " + answer.Status + " to " + answer.Header.Get("Location") + ": redirections are not followed, mend the transport's url"
	case status == http.StatusUnauthorized, status == http.StatusProxyAuthRequired:
		later.Enhanced = "4.7.8"
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly:
	case status == http.StatusTooManyRequests:
		c.restFor(answer)
	case status == http.StatusRequestEntityTooLarge:
		return mail.Reply{Code: 552, Enhanced: "5.3.4", Text: text}
	case status/100 == 4:
		return mail.Reply{Code: 554, Enhanced: "5.3.0", Text: text}
	case status == http.StatusServiceUnavailable:
		c.restFor(answer)
	}
	return later
}

// restFor heeds Retry-After (RFC 9110, section 10.2.3), which is a number of
// seconds or a date.
func (c *conn) restFor(answer *http.Response) {
	after := answer.Header.Get("Retry-After")
	now := c.o.Now()
	until, err := http.ParseTime(after)
	if seconds, numeric := strconv.ParseUint(after, 10, 31); numeric == nil {
		until, err = now.Add(time.Duration(seconds)*time.Second), nil
	}
	if err != nil || !until.After(now) {
		return
	}
	c.resting = true
	c.mu.Lock()
	defer c.mu.Unlock()
	if most := now.Add(mostRest); until.After(most) {
		until = most
	}
	if until.After(c.rest) {
		c.rest = until
	}
}
