# Stands for a BIG-IP's standard virtual server: listens, runs an iRule for each connection, passes bytes both ways.
# Arguments: the file with the iRule, the port to listen at, the relay's port.
lassign $argv rule_file listens relay

# What the iRule language adds to Tcl, as far as the page's rule uses it.
proc when {event body} { set ::rules($event) $body }
foreach family {IP TCP} { namespace eval $family {} }
proc IP::version {} { return 4 }
proc IP::client_addr {} { return [lindex $::client 0] }
proc TCP::client_port {} { return [lindex $::client 1] }
proc IP::local_addr {} { return 127.0.0.1 }
proc TCP::local_port {} { return $::listens }
# In SERVER_CONNECTED the peer is the server.
proc TCP::respond {bytes} { puts -nonewline $::server $bytes }
source $rule_file

proc accept {channel address port} {
    set ::client [list $address $port]
    set ::server [socket 127.0.0.1 $::relay]
    foreach end [list $channel $::server] { fconfigure $end -translation binary -buffering none }
    foreach event {CLIENT_ACCEPTED SERVER_CONNECTED} { uplevel #0 $::rules($event) }
    fcopy $channel $::server -command [list done $channel $::server]
    fcopy $::server $channel -command [list done $channel $::server]
}
proc done {args} { foreach channel [lrange $args 0 1] { catch { close $channel } } }
socket -server accept -myaddr 127.0.0.1 $listens
vwait forever
