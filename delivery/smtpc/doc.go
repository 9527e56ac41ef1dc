// Package smtpc is the sending side of SMTP (RFC 5321): one connection to one
// server, over which messages go one after the other with MAIL, RCPT and DATA
// in one write where the server offers PIPELINING (RFC 2920).
//
// Large content goes by BDAT where the server offers CHUNKING (RFC 3030), all
// other by DATA.
//
// It chooses no host, repeats nothing and judges no reply: a server's answers
// are values of a transport.Result. A *transport.Error says that the connection
// is of no use any more, in which phase that happened, and with what reply, if
// any.
//
// Three things hold whatever the server does. The final dot, or BDAT 0 LAST in
// its place, is written only after BeforeDot has agreed, after all the content
// has left but for what fits the same write; without Result.Dot the server
// cannot have a message. What is written has CRLF line endings only. What is
// read is bounded: in length of a line, number of lines, and time.
package smtpc
