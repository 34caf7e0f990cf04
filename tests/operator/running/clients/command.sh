# command.sh NAME HOST...: asks each host by a command, and prints `HOST: ok` or why not.
name=$1
shift
out=/tmp/said.$$

ask() {
  case $name in
    curl) curl -sS --max-time 20 -o /dev/null "https://$1/" ;;
    wget) wget -nv --tries=1 --timeout=20 -O /dev/null "https://$1/" ;;
    openssl) openssl s_client -connect "$1:443" -servername "$1" -verify_hostname "$1" \
      -verify_return_error < /dev/null ;;
    git) git ls-remote "https://$1/repository.git" ;;
    uv) UV_HTTP_RETRIES=0 UV_NO_PROGRESS=1 "$UV" pip install --no-cache --no-config \
      --target /tmp/target --python "$PYTHON" --index-url "https://$1/simple" nothing-there ;;
  esac
}

for host in "$@"; do
  if ask "$host" > "$out" 2>&1; then echo "$host: ok"
  else echo "$host: $(tr '\n' ' ' < "$out")"; fi
done
rm -f "$out"
