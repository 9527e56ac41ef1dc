// Package tlspolicy decides how secret and how authentic a connection to a mail
// host must be. It joins what the operator says of a router, what the domain
// says by DANE (RFC 7672) and MTA-STS (RFC 8461), and what the sender says
// (RFC 8689).
//
// A Demand is what router, domain and sender ask for. A Checker makes a Policy
// of it, which holds for all hosts of a target; Policy.Host makes a Rule of it
// for one host, or a Refusal, which says that nothing may be sent there now.
// The strongest demand wins: a host with usable TLSA records is authenticated
// by them alone, for MTA-STS must not be what replaces them (RFC 8461, section
// 2); else an enforced MTA-STS policy holds; else the router's own word.
//
// What came of a session is given to the Rule, which counts it for the reports
// of RFC 8460, under every policy that the domain has.
package tlspolicy
