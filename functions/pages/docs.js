// Shows the OpenAPI document with Swagger UI.

if (window.SwaggerUIBundle) {
  window.SwaggerUIBundle({
    url: `openapi.json${location.search}`,
    dom_id: '#swagger-ui',
    deepLinking: true,
    docExpansion: 'list',
    validatorUrl: null,
  });
}
