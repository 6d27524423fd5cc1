# All pods of a night's Job run the same night: that of the time at which its CronJob made it, in minutes since 1970 at the
# end of its name. A pod that replaces another after midnight, UTC, does not begin the next one.
minutes=${JOB_NAME##*-}
case $minutes in
*[!0-9]* | "") ;;
*) if [ "${#minutes}" = 8 ] && [ "$minutes" -ge 25000000 ]; then set -- --night "$(date -u -d "@$((minutes * 60))" +%F)" "$@"; fi ;;
esac
exec pipeline nightly "$@"
