// Package site knows where mail really goes. A Site is what receives: the set
// of hosts, ports and TLS policy behind any number of domains. Limits,
// connections and bad experiences belong to sites, so that ten thousand
// domains of one provider share them.
//
// A Site is suspended while none of its hosts can be used: nobody connects
// until a moment that moves further away with each failure, then one
// connection probes. How many connections a site gets at once grows while mail
// goes through and shrinks when the site refuses more.
//
// All of it is soft state of one process: it is lost when the process ends,
// and costs then one failed attempt a site.
package site
