import { defineConfig } from "vite";

export default defineConfig({
  // JSX by esbuild itself: no plugin is needed for a build.
  esbuild: { jsx: "automatic" },
  server: { proxy: { "/api": "http://127.0.0.1:8000" } },
});
