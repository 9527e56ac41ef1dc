// Takes everything, and has Haraka's own outbound queue send it to one place.
exports.hook_connect_init = (next, connection) => { connection.relaying = true; next() }
exports.hook_mail = (next, connection) => { connection.relaying = true; next(OK) }
exports.hook_rcpt = (next) => next(OK)
exports.hook_get_mx = (next) => next(OK, [{ priority: 0, exchange: '{{.HopHost}}', port: {{.HopPort}} }])
