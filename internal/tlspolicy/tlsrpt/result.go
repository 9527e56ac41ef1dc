package tlsrpt

// Result is how a session failed (RFC 8460, section 4.3).
type Result string

// The results.
const (
	// Of the session itself (section 4.3.1).
	StartTLSNotSupported    Result = "starttls-not-supported"
	CertificateHostMismatch Result = "certificate-host-mismatch"
	CertificateExpired      Result = "certificate-expired"
	CertificateNotTrusted   Result = "certificate-not-trusted"
	ValidationFailure       Result = "validation-failure"
	// Of the policy (sections 4.3.2.1 and 4.3.2.2).
	TLSAInvalid         Result = "tlsa-invalid"
	DNSSECInvalid       Result = "dnssec-invalid"
	DANERequired        Result = "dane-required"
	STSPolicyFetchError Result = "sts-policy-fetch-error"
	STSPolicyInvalid    Result = "sts-policy-invalid"
	STSWebPKIInvalid    Result = "sts-webpki-invalid"
)

// PolicyType is the kind of a policy.
type PolicyType string

// The kinds (RFC 8460, section 4.4).
const (
	TLSA     PolicyType = "tlsa"
	STS      PolicyType = "sts"
	NoPolicy PolicyType = "no-policy-found"
)

// Policy is under what a session was made, as reports show it.
type Policy struct {
	Type PolicyType `json:"policy-type"`
	// Strings are the lines of the policy file, or the TLSA records.
	Strings []string `json:"policy-string,omitempty"`
	// Domain is the mail domain, or the TLSA base domain.
	Domain string `json:"policy-domain"`
	// MX are the patterns of an MTA-STS policy.
	MX []string `json:"mx-host,omitempty"`
}

// Failure is one way in which sessions failed.
type Failure struct {
	Result      Result `json:"result-type"`
	SendingIP   string `json:"sending-mta-ip,omitempty"`
	MXHost      string `json:"receiving-mx-hostname,omitempty"`
	ReceivingIP string `json:"receiving-ip,omitempty"`
	// Reason is a word or a line of our own.
	Reason string `json:"failure-reason-code,omitempty"`
}

// Session is how one attempt to open a session went, or was not made at all
// because its policy forbade it.
type Session struct {
	// Domain is the mail domain, whose owner is told.
	Domain string
	Policy Policy
	// Failed is nil where TLS was as the policy wants it.
	Failed *Failure
}

// PolicyCounts is what was counted under one policy.
type PolicyCounts struct {
	Policy   Policy    `json:"policy"`
	Summary  Summary   `json:"summary"`
	Failures []Failing `json:"failure-details,omitempty"`
}

// Summary counts sessions.
type Summary struct {
	Successful int64 `json:"total-successful-session-count"`
	Failed     int64 `json:"total-failure-session-count"`
}

// Failing counts sessions that failed in one way.
type Failing struct {
	Failure
	Sessions int64 `json:"failed-session-count"`
}
