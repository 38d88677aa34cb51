import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** Bytes that all scripts and styles together may take when gzipped. */
const MOST = 500_000;

/** Prints the size of what is built, and refuses to build more than is allowed. */
function budget(): Plugin {
  return {
    name: "budget",
    generateBundle(_options, bundle) {
      let total = 0;
      for (const part of Object.values(bundle)) {
        total += gzipSync(part.type === "chunk" ? part.code : part.source).length;
      }
      console.log(`viewer: ${(total / 1000).toFixed(1)} kB gzipped, of at most ${MOST / 1000} kB`);
      if (total > MOST) this.error(`the viewer is ${total} bytes gzipped, more than ${MOST}`);
    },
  };
}

export default defineConfig({
  base: "./", // also works behind a proxy that serves it below a path
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: false },
  plugins: [budget()],
});
