#!/bin/sh
# The command as the owner of the store and with the settings of the server; root runs it.
set -a
. /etc/pageroles/pageroles.env
exec runuser -u pageroles -- /opt/pageroles/bin/pageroles "$@"
