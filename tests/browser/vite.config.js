import {defineConfig} from 'vite';

export default defineConfig({
  base: './',
  build: {
    outDir: 'dist',
    target: 'esnext',
    chunkSizeWarningLimit: 4000,
    rollupOptions: {input: ['index.html', 'vectors.html']},
  },
});
