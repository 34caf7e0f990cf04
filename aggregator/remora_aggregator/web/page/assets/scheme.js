// Runs before anything is drawn, so that the page never flashes in the other scheme.
try {
  const kept = localStorage.getItem("scheme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.scheme = kept;
} catch {
  // Storage may be forbidden; then the system decides.
}
