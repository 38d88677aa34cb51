// Adds the visitor's token to requests that cannot carry a header of their own: pictures, tiles, event streams.
// The page starts it only for people who signed in. The token lies in the browser's database, until they sign out.

let known; // undefined: not looked yet; null: nobody is signed in

function token() {
  known ??= new Promise((resolve) => {
    const opening = indexedDB.open("bigimage-session", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("session");
    opening.onerror = () => resolve(null);
    opening.onsuccess = () => {
      const read = opening.result.transaction("session").objectStore("session").get("token");
      read.onsuccess = () => resolve(read.result ?? null);
      read.onerror = () => resolve(null);
    };
  });
  return known;
}

async function answer(request) {
  const found = await token();
  if (!found) return fetch(request);
  const headers = new Headers(request.headers);
  headers.set("Authorization", `Bearer ${found}`);
  return fetch(new Request(request.url, { method: request.method, headers, mode: "same-origin", signal: request.signal, cache: request.cache }));
}

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("message", () => {
  known = undefined; // somebody signed in or out
});
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const isOurs = new URL(request.url).origin === self.location.origin;
  if (!isOurs || request.mode === "navigate" || !["GET", "HEAD"].includes(request.method) || request.headers.has("Authorization")) return;
  event.respondWith(answer(request));
});
